package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// startWait is how long whoever starts a run waits for its end, before the list of
	// runs has to do.
	startWait = 5 * time.Second
	startBody = 4 << 10 // bytes
)

// start starts a run of a pair, and leads to it when it has ended. The runner's rule
// stands: a run in flight is joined, and none starts too soon after the last one.
func (s *server) start(w http.ResponseWriter, r *http.Request) {
	if !s.MayRun(r) {
		plain(w, http.StatusForbidden, "only who has shown who they are may start a run: see basic_auth_users of --web.config.file")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, startBody)
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		plain(w, status, "form: "+err.Error())
		return
	}
	pair, _, err := parseProbe(r.PostForm.Encode())
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	statuses := s.Runner.Status()
	if _, ok := find(statuses, pair); !ok {
		plain(w, http.StatusNotFound, unknown(statuses, pair))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), startWait)
	defer cancel()
	answer, err := s.Runner.Trigger(ctx, pair, probe.TriggerCommand)
	switch {
	case err != nil:
		plain(w, http.StatusServiceUnavailable, err.Error())
	case answer.Fresh && answer.Result != nil:
		http.Redirect(w, r, "/runs/"+answer.Result.ID, http.StatusSeeOther)
	case ctx.Err() != nil: // it goes on
		http.Redirect(w, r, historyURL(pair), http.StatusSeeOther)
	default:
		plain(w, http.StatusTooManyRequests, "the last run of "+pair.String()+" is too short a time ago: try again later")
	}
}

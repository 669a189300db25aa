package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// post sends a form to /run.
func post(t *testing.T, h http.Handler, form string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/run", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// known lets those run something who have a name.
func known(r *http.Request) bool {
	name, _, ok := r.BasicAuth()
	return ok && name != ""
}

const form = "target=corp&module=nonce"

func TestNobodyRunsAnythingByDefault(t *testing.T) {
	runner := &fakeRunner{statuses: busy(time.Now()), by: probe.TriggerCommand}
	h := New(options(runner))
	if w := post(t, h, form, "Authorization", "Basic YTpi"); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if body := fetch(t, h, "/"); strings.Contains(body, "Run now") {
		t.Error("the index offers it")
	}
	if len(runner.triggered) != 0 {
		t.Errorf("triggered %v", runner.triggered)
	}
}

func TestStart(t *testing.T) {
	fresh := func(context.Context) (probe.Answer, error) {
		return probe.Answer{Result: &probe.Result{ID: "r9"}, Fresh: true}, nil
	}
	name := []string{"Authorization", "Basic YTpi"}
	for what, c := range map[string]struct {
		form     string
		header   []string
		trigger  func(context.Context) (probe.Answer, error)
		status   int
		says     string
		location string
	}{
		"nobody":      {form, nil, fresh, 403, "only who has shown who they are may start a run", ""},
		"a stranger":  {form, append([]string{"Sec-Fetch-Site", "cross-site"}, name...), fresh, 403, "cross-origin", ""},
		"another's":   {form, append([]string{"Origin", "https://evil.example"}, name...), fresh, 403, "cross-origin", ""},
		"a run":       {form, name, fresh, 303, "", "/runs/r9"},
		"from a page": {form, append([]string{"Sec-Fetch-Site", "same-origin"}, name...), fresh, 303, "", "/runs/r9"},
		"a long run": {form, name, func(ctx context.Context) (probe.Answer, error) {
			<-ctx.Done()
			return probe.Answer{}, nil
		}, 303, "", "/runs?module=nonce&target=corp"},
		"too soon":  {form, name, nil, 429, "the last run of corp/nonce is too short a time ago", ""},
		"it stops":  {form, name, func(context.Context) (probe.Answer, error) { return probe.Answer{}, errors.New("the exporter stops") }, 503, "the exporter stops", ""},
		"no module": {"target=corp", name, fresh, 400, `parameter "module" is missing`, ""},
		"twice":     {form + "&target=corp", name, fresh, 400, `parameter "target" is given 2 times`, ""},
		"not ours":  {"target=corp&module=issue", name, fresh, 404, `unknown module "issue"`, ""},
		"too much":  {form + "&more=" + strings.Repeat("a", startBody), name, fresh, 413, "too large", ""},
		"no form":   {"%", name, fresh, 400, "form: ", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			runner := &fakeRunner{statuses: busy(time.Now()), by: probe.TriggerCommand, trigger: c.trigger}
			o := options(runner)
			o.MayRun = known
			w := post(t, New(o), c.form, c.header...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Location") != c.location {
				t.Errorf("%s: %d %q to %q, want %d %q to %q", what, w.Code, w.Body, w.Header().Get("Location"), c.status, c.says, c.location)
			}
			if ran := c.status == 303 || c.status == 429 || c.status == 503; (len(runner.triggered) == 1) != ran {
				t.Errorf("%s: triggered %v", what, runner.triggered)
			}
		})
	}
}

// What is in the query starts nothing: a link must not be able to.
func TestStartOnlyByForm(t *testing.T) {
	runner := &fakeRunner{statuses: busy(time.Now()), by: probe.TriggerCommand}
	o := options(runner)
	o.MayRun = known
	h := New(o)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/run?"+form, nil)
	r.SetBasicAuth("a", "b")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(t, h, "/run?"+form, "Authorization", "Basic YTpi"); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if len(runner.triggered) != 0 {
		t.Errorf("triggered %v", runner.triggered)
	}
	if w := get(t, h, "/", "Authorization", "Basic YTpi"); !strings.Contains(w.Body.String(), `<form method="post" action="/run"><input type="hidden" name="target" value="corp"><input type="hidden" name="module" value="nonce">`) {
		t.Error("the index does not offer it to who may")
	}
	if strings.Contains(fetch(t, h, "/"), "Run now") {
		t.Error("the index offers it to who may not")
	}
}

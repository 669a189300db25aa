package live

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// notification is one that Alertmanager has sent.
type notification struct {
	At time.Time `json:"-"`
	// Kind is page, warning or ticket, as in the URLs of alerts/alertmanager.yml.
	Kind   string            `json:"-"`
	Status string            `json:"status"` // firing or resolved
	Group  map[string]string `json:"groupLabels"`
	Alerts []alert           `json:"alerts"`
}

// alert is one of a notification's.
type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// receiver is who is paged: a webhook. It answers HEAD too, so that it is what the
// exporters ask when they want to know whether their own line works.
type receiver struct {
	mu            sync.Mutex // guards notifications
	notifications []notification
}

// startReceiver listens at the address, port 80.
func startReceiver(t *testing.T, n *parts.Namespace, address string) *receiver {
	t.Helper()
	r := new(receiver)
	listener, err := n.Listen(t.Context(), "tcp", address+":80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: parts.Timeout}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with Close
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		return
	}
	got := notification{At: time.Now(), Kind: strings.TrimPrefix(request.URL.Path, "/")}
	if err := json.NewDecoder(request.Body).Decode(&got); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notifications = append(r.notifications, got)
}

// to returns the notifications of a kind about a target, in order; of the empty target,
// what is about exporters.
func (r *receiver) to(kind, target string) (list []notification) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.notifications {
		if n.Kind == kind && n.Group["target"] == target {
			list = append(list, n)
		}
	}
	return list
}

// first returns when a notification of that kind first said that the alert fires for
// the target, and the alert's description; zero: none did.
func (r *receiver) first(kind, target, name string) (at time.Time, description string) {
	for _, n := range r.to(kind, target) {
		for _, a := range n.Alerts {
			if a.Status == "firing" && a.Labels["alertname"] == name {
				return n.At, a.Annotations["description"]
			}
		}
	}
	return time.Time{}, ""
}

// all returns everything that was sent.
func (r *receiver) all() []notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notifications)
}

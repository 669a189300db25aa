package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/metrics"
)

// looking is how often the watched exporter of a test looks at its file.
const looking = 30 * time.Second

// watched is an exporter that only watches its file.
type watched struct {
	*exporter
	t   *testing.T
	hup chan os.Signal

	mu    sync.Mutex // guards the fields below
	loads []string   // the file at each attempt
	err   error      // what loading comes to
	log   bytes.Buffer
}

// newWatched starts it with a file that has been loaded as "one". It has to be made in
// a bubble of synctest's.
func newWatched(t *testing.T) *watched {
	w := &watched{t: t, hup: make(chan os.Signal)}
	file := write(t, "one")
	m, err := metrics.New(prometheus.NewRegistry(), metrics.Options{Histograms: metrics.Both})
	if err != nil {
		t.Fatal(err)
	}
	w.exporter = &exporter{
		common: Common{ConfigFile: file}, metrics: m,
		logger: slog.New(slog.NewTextHandler(w, nil)),
		file: &reloader{file: file, load: func() error {
			text, err := os.ReadFile(file)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.loads = append(w.loads, string(text))
			return errors.Join(err, w.err)
		}},
	}
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.watch(ctx, w.hup, ServeOptions{AutoReload: true, AutoReloadInterval: looking})
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return w
}

// Write implements io.Writer: it takes what is logged.
func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// comes says what loading comes to from now on.
func (w *watched) comes(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// edit changes the file.
func (w *watched) edit(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.file.file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// looks lets the exporter look n times, and demands what it has loaded since the start.
func (w *watched) looks(n int, want ...string) {
	w.t.Helper()
	time.Sleep(time.Duration(n) * looking)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.loads[1:], ","); got != strings.Join(want, ",") {
		w.t.Fatalf("loaded %q, want %q", got, want)
	}
}

// tells demands how many errors of reloads the log has.
func (w *watched) tells(errors int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Count(w.log.String(), "level=ERROR"); got != errors {
		w.t.Errorf("logged %d errors, want %d: %s", got, errors, &w.log)
	}
}

func TestAutoReload(t *testing.T) {
	for name, play := range map[string]func(*watched){
		"an edit is loaded once": func(w *watched) {
			w.looks(2)
			w.edit("two")
			w.looks(3, "two")
		},
		"a failure that passes": func(w *watched) {
			w.edit("two")
			w.comes(errors.New("the port is taken"))
			w.looks(3, "two", "two", "two")
			w.tells(1) // once is enough
			w.comes(nil)
			w.looks(3, "two", "two", "two", "two")
			w.tells(1)
		},
		"each new failure is logged": func(w *watched) {
			w.edit("two")
			w.comes(errors.New("the port is taken"))
			w.looks(1, "two")
			w.comes(errors.New("the disk is full"))
			w.looks(1, "two", "two")
			w.edit("three")
			w.looks(2, "two", "two", "three", "three")
			w.tells(3)
		},
		"an edit that is taken back after a failure": func(w *watched) {
			w.edit("two")
			w.comes(errors.New("a mistake"))
			w.looks(1, "two")
			w.comes(nil)
			w.edit("one")
			w.looks(2, "two", "one")
		},
		"an edit while the file is loaded": func(w *watched) {
			load, once := w.file.load, new(sync.Once)
			w.file.mu.Lock()
			w.file.load = func() error {
				err := load()
				once.Do(func() { w.edit("three") })
				return err
			}
			w.file.mu.Unlock()
			w.edit("two")
			w.looks(3, "two", "three")
		},
		"a file that is not there": func(w *watched) {
			if err := os.Remove(w.file.file); err != nil {
				w.t.Fatal(err)
			}
			w.looks(2)
			w.edit("two")
			w.looks(2, "two")
		},
		"a hangup has loaded it": func(w *watched) {
			w.edit("two")
			w.hup <- syscall.SIGHUP
			w.looks(2, "two")
		},
		"a hangup that failed": func(w *watched) {
			w.comes(errors.New("the port is taken"))
			for range 2 { // whoever asks is always told
				w.hup <- syscall.SIGHUP
				synctest.Wait()
			}
			w.tells(2)
			w.comes(nil)
			w.looks(2, "one", "one", "one")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(newWatched(t)) })
		})
	}
}

// TestEditBeforeTheFirstLook holds that a file that is changed while the exporter
// starts is loaded again.
func TestEditBeforeTheFirstLook(t *testing.T) {
	file := write(t, "one")
	r := &reloader{file: file, load: func() error { return os.WriteFile(file, []byte("two"), 0o600) }}
	if _, err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if !r.due() {
		t.Error("the change is not seen")
	}
}

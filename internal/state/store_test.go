package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// all returns the JSON of every key of bucket.
func all(t *testing.T, s *Store, bucket string) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := s.All(bucket, func(k string, v []byte) error { got[k] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStoreKeepsWhatWasPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	for _, k := range []string{"one", "two", "three"} {
		if err := s.Put("numbers", k, map[string]string{"name": k}); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		s.Put("numbers", "one", "again"),
		s.Put("letters", "one", nil),
		s.Delete("numbers", "two"),
		s.Delete("numbers", "absent"),
		s.Delete("absent", "absent"),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put("numbers", "four", 4); err == nil {
		t.Error("Put after Close: no error")
	}

	s = open(t, dir)
	want := map[string]string{"one": `"again"`, "three": `{"name":"three"}`}
	if diff := cmp.Diff(want, all(t, s, "numbers")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"one": "null"}, all(t, s, "letters")); diff != "" {
		t.Error(diff)
	}
	if got := all(t, s, "absent"); len(got) != 0 {
		t.Errorf("an absent bucket has %v", got)
	}
	for key, want := range map[[2]string]string{{"numbers", "one"}: `"again"`, {"numbers", "two"}: "", {"absent", "one"}: ""} {
		if got, err := s.Get(key[0], key[1]); err != nil || string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%v is %q, %v, want %q", key, got, err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("numbers", "one"); err == nil {
		t.Errorf("Get after Close: %q", got)
	}
}

func TestStoreModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	open(t, dir)
	for name, want := range map[string]os.FileMode{".": os.ModeDir | 0o700, storeFile: 0o600, pidFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestAllMayWriteAndStopsAtError(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 3 {
		if err := s.Put("b", fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("stop")
	var seen []string
	err := s.All("b", func(k string, v []byte) error {
		seen = append(seen, k)
		if err := s.Put("b", "new", 1); err != nil {
			return err
		}
		if k == "1" {
			return stop
		}
		return s.Delete("b", k)
	})
	if !errors.Is(err, stop) || err.Error() != "stop" || strings.Join(seen, " ") != "0 1" {
		t.Errorf("All = %v after %v", err, seen)
	}
	if diff := cmp.Diff(map[string]string{"1": "1", "2": "2", "new": "1"}, all(t, s, "b")); diff != "" {
		t.Error(diff)
	}
}

func TestPutRefusesBadWritesAlone(t *testing.T) {
	s := open(t, t.TempDir())
	for name, err := range map[string]error{
		"empty bucket":  s.Put("", "k", 1),
		"empty key":     s.Put("b", "", 1),
		"long key":      s.Put("b", strings.Repeat("k", 1<<16), 1),
		"not JSON":      s.Put("b", "k", func() {}),
		"delete no key": s.Delete("b", ""),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := s.Put("b", "k", 1); err != nil {
		t.Errorf("after the bad ones: %v", err)
	}
}

func TestParallelWrites(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	want := map[string]string{}
	for i := range 50 {
		want[fmt.Sprint(i)] = fmt.Sprint(i)
		wg.Go(func() {
			if err := s.Put("b", fmt.Sprint(i), i); err != nil {
				t.Error(err)
			}
			if err := s.Put("gone", fmt.Sprint(i), i); err != nil {
				t.Error(err)
			}
			if err := s.Delete("gone", fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(want, all(t, s, "b")); diff != "" {
		t.Error(diff)
	}
	if got := all(t, s, "gone"); len(got) != 0 {
		t.Errorf("deleted, and still there: %v", got)
	}
}

// TestParallelWritesShareCommits holds the commit lock, so that everything that
// comes meanwhile has to end up in one transaction.
func TestParallelWritesShareCommits(t *testing.T) {
	s := open(t, t.TempDir())
	s.committing.Lock()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := s.Put("b", fmt.Sprint(i), i); err != nil {
				t.Error(err)
			}
		})
	}
	waiting := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.next == nil {
			return 0
		}
		return len(s.next.writes)
	}
	for deadline := time.Now().Add(10 * time.Second); waiting() < 20; {
		if time.Now().After(deadline) {
			t.Fatalf("%d writes are waiting, want 20", waiting())
		}
		time.Sleep(time.Millisecond)
	}
	before := txID(t, s)
	s.committing.Unlock()
	wg.Wait()
	if got := txID(t, s) - before; got != 1 {
		t.Errorf("20 writes took %d transactions, want 1", got)
	}
}

func txID(t testing.TB, s *Store) int {
	t.Helper()
	tx, err := s.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	return tx.ID()
}

func TestOpenErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"file": "", "garbage/store.db": strings.Repeat("garbage ", 4096), "short/store.db": "short", "zeroes/store.db": strings.Repeat("\x00", 3000)} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const damaged = "restore it, or move it away to start without history (account keys are other files, and stay)"
	for dir, want := range map[string]string{
		"file":          `open state directory "file": "file" is not a directory`,
		"file/beneath":  `open state directory "file/beneath": "file" is not a directory`,
		"/proc/beneath": `open state directory "/proc/beneath": mkdir /proc/beneath: no such file or directory`,
		"garbage":       `open state directory "garbage": store.db is damaged (invalid database): ` + damaged,
		"zeroes":        `open state directory "zeroes": store.db is damaged (file size too small 3000): ` + damaged,
		"short":         `open state directory "short": store.db is damaged (invalid database): ` + damaged,
	} {
		s, err := Open(dir)
		if err == nil {
			s.Close()
			t.Errorf("Open(%q): no error", dir)
			continue
		}
		if err.Error() != want {
			t.Errorf("Open(%q) = %v\nwant %v", dir, err, want)
		}
	}
	if b, err := os.ReadFile("garbage/store.db"); err != nil || !strings.HasPrefix(string(b), "garbage ") {
		t.Errorf("the damaged store was touched: %.20q, %v", b, err)
	}
}

func TestOpenNotWritable(t *testing.T) {
	for name, err := range map[string]error{
		"EROFS":  plain(&os.PathError{Op: "mkdir", Path: "data", Err: syscall.EROFS}),
		"EACCES": plain(&os.PathError{Op: "openat", Path: "store.db", Err: syscall.EACCES}),
	} {
		if !strings.HasSuffix(err.Error(), "it must be writable by the user that runs this process") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenLockedAndKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdDir+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "<nil>\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}

	_, err = Open(dir)
	want := fmt.Sprintf("open state directory %q: held by acme_exporter with pid %d: stop it, or use another --state.dir", dir, cmd.Process.Pid)
	if !errors.Is(err, ErrLocked) || err.Error() != want {
		t.Errorf("Open = %v\nwant %v", err, want)
	}
	os.Remove(filepath.Join(dir, pidFile))
	if _, err = Open(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "held by another acme_exporter") {
		t.Errorf("Open without a pid file = %v", err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the killed process ended well")
	}
	s := open(t, dir)
	if diff := cmp.Diff(map[string]string{"before": `"kill"`}, all(t, s, "bucket")); diff != "" {
		t.Error(diff)
	}
}

func TestCloseRemovesPID(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if b, err := os.ReadFile(filepath.Join(dir, pidFile)); err != nil || string(b) != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("pid file = %q, %v", b, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, pidFile)); !os.IsNotExist(err) {
		t.Errorf("pid file after Close: %v", err)
	}
}

func BenchmarkPut(b *testing.B) {
	value := json.RawMessage(`"` + strings.Repeat("x", 8<<10) + `"`)
	for _, parallel := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			s, err := Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			before := txID(b, s)
			var wg sync.WaitGroup
			b.ResetTimer()
			for w := range parallel {
				wg.Go(func() {
					for i := w; i < b.N; i += parallel {
						if err := s.Put("results", fmt.Sprint(i%150), value); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/float64(txID(b, s)-before), "puts/commit")
		})
	}
}

package budget

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/state"
)

// slowDisk is a disk on which a write, or a read, takes an hour.
type slowDisk struct {
	*disk
	slow bool
}

func (d *slowDisk) Commit(changes ...state.Change) error {
	d.wait()
	return d.disk.Commit(changes...)
}

func (d *slowDisk) All(bucket string, each func(string, []byte) error) error {
	d.wait()
	return d.disk.All(bucket, each)
}

func (d *slowDisk) wait() {
	if d.slow {
		time.Sleep(time.Hour)
	}
}

// TestScrapesWaitForNoDisk holds that what a scrape and the page ask is answered at
// once while a turn of a pool, a reservation or a start is at the disk.
func TestScrapesWaitForNoDisk(t *testing.T) {
	for name, play := range map[string]func(*Book) error{
		"a turn of a pool": func(b *Book) error {
			_, _, err := b.pool.Next(time.Now(), poolPair, poolNames(3), issuance())
			return err
		},
		"a pool that goes": func(b *Book) error { return b.Apply(time.Now(), nil) },
		"a reservation": func(b *Book) error {
			_, _, err := b.ledger.Reserve(time.Now(), issuance("a.example"))
			return err
		},
		"a start": func(b *Book) error { return b.Load(time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &slowDisk{disk: newDisk()}
				b := NewBook(store)
				if err := b.Load(time.Now()); err != nil {
					t.Fatal(err)
				}
				if _, _, err := b.pool.Next(time.Now(), poolPair, poolNames(3), issuance()); err != nil {
					t.Fatal(err)
				}
				store.slow = true
				done := make(chan error)
				go func() { done <- play(b) }()
				synctest.Wait() // it is at the disk
				select {
				case err := <-done:
					t.Fatalf("nothing was written: %v", err)
				default:
				}
				start := time.Now()
				if !b.OK() || b.Problem() != nil {
					t.Error("what is written is a problem")
				}
				if _, err := b.ledger.Remaining(time.Now(), testCA, "acct/1", testLimits(), 0.5); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("a scrape took %v", took)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if !b.OK() {
					t.Error(b.Problem())
				}
			})
		})
	}
}

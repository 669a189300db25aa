package dnsclient

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestInTurn holds that a resolver has its place again after a while.
func TestInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{Resolvers: []string{"a", "b", "c"}}
		check := func(want ...string) {
			t.Helper()
			if got := c.inTurn(); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		c.passOver("a")
		check("b", "c", "a")
		time.Sleep(silence / 2)
		c.passOver("b")
		check("c", "a", "b")
		time.Sleep(silence / 2)
		check("a", "c", "b")
		time.Sleep(silence / 2)
		check("a", "b", "c")
	})
}

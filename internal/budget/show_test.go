package budget

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestRemaining(t *testing.T) {
	l := load(t, newDisk(), begin)
	for range 3 {
		settle(t, l, begin, reserve(t, l, begin, issuance("a.one.example")), probe.Spent{Valid: []string{"a.one.example"}})
	}
	settle(t, l, begin, reserve(t, l, begin, issuance("b.two.example")), probe.Spent{Valid: []string{"b.two.example"}})
	other := issuance("c.one.example")
	other.Account = "acct/10"
	settle(t, l, begin, reserve(t, l, begin, other), probe.Spent{})
	got, err := l.Remaining(begin.Add(time.Second), testCA, "acct/1", testLimits(), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	set := setOf([]string{"a.one.example"})
	want := []probe.Level{
		{Limit: "new_orders", What: "acct/1", Remaining: 296, Capacity: 300, Full: begin.Add(4 * 36 * time.Second)},
		{Limit: "certificates_per_domain", What: "one.example", Remaining: 21, Capacity: 25, Full: begin.Add(4 * 24192 * time.Second)},
		{Limit: "certificates_per_set", What: set, Remaining: 2, Capacity: 5, Full: begin.Add(3 * 120960 * time.Second)},
		{Limit: "failed_validations", Remaining: 5, Capacity: 5},
		{Limit: "consecutive_failures", Remaining: 1152, Capacity: 1152},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

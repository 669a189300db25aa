package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/app"
)

// TestExitCode holds the codes that units and scripts go by.
func TestExitCode(t *testing.T) {
	for err, want := range map[error]int{
		errors.New("failed"):                        1,
		app.ErrNothingKnown:                         1,
		fmt.Errorf("report: %w", app.ErrUsage):      2,
		fmt.Errorf("report: %w", app.ErrMailUnsure): 3,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}

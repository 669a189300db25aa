// Package app wires the rooms together: it starts, reloads and stops the
// exporter, and does what the other commands do. It is the only package that
// knows all the others, and holds no logic of theirs.
package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/acme-exporter/acme_exporter/config"
)

// Common is what every command gets.
type Common struct {
	ConfigFile string // empty: the built-in configuration
	StateDir   string
	Logger     *slog.Logger
	Stdout     io.Writer
	Stderr     io.Writer
}

// ErrUsage marks errors of the command line and of the configuration.
var ErrUsage = errors.New("usage")

// ErrProbeFailed is returned by [Probe] when the run did not succeed; what
// happened has been printed.
var ErrProbeFailed = errors.New("probe failed")

// usageError is an error with a text of its own that is an ErrUsage.
type usageError struct{ err error }

func (e usageError) Error() string        { return e.err.Error() }
func (e usageError) Unwrap() error        { return e.err }
func (e usageError) Is(target error) bool { return target == ErrUsage }

// load reads the configuration file, or takes the built-in configuration.
func (c Common) load() (*config.Config, error) {
	if c.ConfigFile == "" {
		return config.Default(), nil
	}
	cfg, err := config.Load(c.ConfigFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("the configuration has mistakes:\n%w", err)}
	}
	return cfg, nil
}

package app

import (
	"fmt"
	"io"
	"os"

	"github.com/acme-exporter/acme_exporter/internal/incident"
)

// Replay prints the incidents that the runs in a file make, those of stdin without
// one. It needs neither a configuration nor a state directory.
func Replay(common Common, file string, stdin io.Reader) error {
	if file == "" {
		if err := incident.Replay(stdin, common.Stdout); err != nil {
			return usageError{fmt.Errorf("replay: standard input: %w", err)}
		}
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return usageError{fmt.Errorf("replay: %w", err)}
	}
	defer f.Close()
	if err := incident.Replay(f, common.Stdout); err != nil {
		return usageError{fmt.Errorf("replay: %s: %w", file, err)}
	}
	return nil
}

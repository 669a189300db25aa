package runner

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(dieDir); dir != "" {
		die(dir)
	}
	if dir := os.Getenv(writeDir); dir != "" {
		write(dir)
	}
	goleak.VerifyTestMain(m)
}

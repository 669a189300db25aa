package state

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// holdDir in the environment makes this binary another process that opens the
// store there, says so and waits to be killed.
const holdDir = "STATE_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdDir); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

func hold(dir string) {
	s, err := Open(dir)
	if err == nil {
		err = s.Put("bucket", "before", "kill")
	}
	fmt.Println(err)
	if err != nil {
		os.Exit(1)
	}
	// The parent holds the other end, and kills us before it closes it.
	os.Stdin.Read(make([]byte, 1))
}

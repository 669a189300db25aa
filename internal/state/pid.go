package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// lockedError is ErrLocked with the holder's pid.
type lockedError struct {
	pid int // 0: not known
}

// Error implements error.
func (e *lockedError) Error() string {
	holder := "another acme_exporter"
	if e.pid != 0 {
		holder = fmt.Sprintf("acme_exporter with pid %d", e.pid)
	}
	return "held by " + holder + ": stop it, or use another --state.dir"
}

// Is reports whether target is ErrLocked.
func (e *lockedError) Is(target error) bool { return target == ErrLocked }

// writePID says who holds the lock. The lock itself is the store's: the file of
// a process that was killed means nothing, since it is read only by who did not
// get the lock.
func writePID(root *os.Root) error {
	return root.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), fileMode)
}

// readPID returns the pid of who holds the lock, 0 when it cannot be told.
func readPID(root *os.Root) int {
	b, err := root.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func removePID(root *os.Root) error {
	if err := root.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

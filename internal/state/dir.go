package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// openDir opens the directory dir as a root that no name and no symbolic link
// leads out of. It is created, parents included, if it is missing. The error
// says what is wrong, and leaves it to the caller to say which directory.
func openDir(dir string) (*os.Root, error) {
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, plain(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, plain(err)
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		// Without this a crash could take the directory with everything in it.
		if err := syncPath(filepath.Dir(filepath.Clean(dir))); err != nil {
			root.Close()
			return nil, err
		}
	}
	return root, nil
}

// plain removes the operation and the path from err where they only repeat
// what the caller is about to say.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		switch {
		case errors.Is(e.Err, syscall.ENOTDIR):
			return fmt.Errorf("%q is not a directory", e.Path)
		case errors.Is(e.Err, syscall.EROFS), errors.Is(e.Err, fs.ErrPermission):
			return fmt.Errorf("%q: %w: it must be writable by the user that runs this process", e.Path, e.Err)
		}
	}
	return err
}

// readFile returns the content of name; nil and no error when there is none.
func readFile(root *os.Root, name string) ([]byte, error) {
	b, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// replaceFile puts data in place of name's content: after a crash at any moment
// there is the whole old content or the whole new one, and when it returns, the
// new one for good.
func replaceFile(root *os.Root, name string, data []byte) error {
	return writeFile(root, name, data, root.Rename)
}

// createFile is replaceFile for a name that must not exist: if it does, even
// since a moment ago, it is left as it is and the error is fs.ErrExist.
func createFile(root *os.Root, name string, data []byte) error {
	return writeFile(root, name, data, func(temp, name string) error {
		err := root.Link(temp, name)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return errors.Join(err, root.Remove(temp))
		}
		// A file system without hard links. Rename would overwrite, so look; two
		// processes in the same instant remain possible there.
		if _, err := root.Lstat(name); err == nil {
			return errors.Join(fs.ErrExist, root.Remove(temp))
		}
		return root.Rename(temp, name)
	})
}

// writeFile writes data to a temporary name beside name, syncs it, has publish
// give it its name, and syncs the directory.
func writeFile(root *os.Root, name string, data []byte, publish func(temp, name string) error) error {
	// Names that callers may choose never begin with a dot.
	dir, base := filepath.Split(name)
	temp := dir + "." + base + "." + rand.Text()[:10]
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if err := publish(temp, name); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			err = errors.Join(err, root.Remove(temp))
		}
		return err
	}
	return syncDir(root, filepath.Dir(name))
}

// syncDir makes the names in the directory name of root durable.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncPath is syncDir for a directory outside every root.
func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

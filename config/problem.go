package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error is one mistake in a configuration file.
type Error struct {
	File string
	// Line and Column count from 1; 0: not known.
	Line, Column int
	// Path leads to the place, such as targets.corp.probes.directory; empty: the
	// whole file.
	Path string
	// Problem says what is wrong and what to do about it. It never quotes a secret.
	Problem string
}

// Error returns "file:line:column: path: problem", without what is not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// Mistake returns a mistake with the value at the keys, one below the other, that
// somebody found who knows more than this package. It is where the file has the
// value, or else the nearest thing around it.
func (c *Config) Mistake(problem string, keys ...string) *Error {
	ps, at := c.source, path("").keys(keys...)
	if ps == nil {
		return &Error{File: "built-in", Path: at.String(), Problem: problem}
	}
	pos := ps.position(at)
	return &Error{File: ps.file, Line: pos.line, Column: pos.column, Path: at.String(), Problem: problem}
}

// path leads to a place in the file: its keys and indices, NUL-separated. The
// empty path is the whole file.
type path string

const separator = "\x00"

// key returns the path of the value at k.
func (p path) key(k string) path {
	return p.down(strings.ReplaceAll(k, separator, "\uFFFD"))
}

// keys returns the path of the value at the keys, one below the other.
func (p path) keys(ks ...string) path {
	for _, k := range ks {
		p = p.key(k)
	}
	return p
}

// index returns the path of a list's item.
func (p path) index(i int) path { return p.down("[" + strconv.Itoa(i) + "]") }

func (p path) down(segment string) path {
	if p == "" {
		return path(segment)
	}
	return p + separator + path(segment)
}

// parent returns the path one up; that of the whole file is itself.
func (p path) parent() path {
	i := strings.LastIndex(string(p), separator)
	return p[:max(i, 0)]
}

// String returns the form for people: targets.corp.zones[0], with quotes
// around keys that could be mistaken.
func (p path) String() string {
	var b strings.Builder
	for s := range strings.SplitSeq(string(p), separator) {
		switch {
		case strings.HasPrefix(s, "["):
			b.WriteString(s)
			continue
		case !plainKey(s) && p != "":
			b.WriteString("[" + strconv.Quote(s) + "]")
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String()
}

func plainKey(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// position is a place in the file; the zero one is unknown.
type position struct{ line, column int }

// problems gathers every mistake of a file, and knows where its values stand.
type problems struct {
	file string
	at   map[path]position
	// broken are places whose value could not be read. What is found out about
	// them, or about what would be beneath them, is a consequence and not told.
	broken map[path]bool
	list   []*Error
}

func newProblems(file string) *problems {
	return &problems{file: file, at: map[path]position{"": {1, 1}}, broken: map[path]bool{}}
}

// add tells of a problem with the value at p. If that is not written, the
// position is that of the nearest thing around it that is.
func (ps *problems) add(p path, format string, args ...any) {
	if ps.isBroken(p) {
		return
	}
	ps.addAt(ps.position(p), p, format, args...)
}

func (ps *problems) addAt(pos position, p path, format string, args ...any) {
	e := &Error{
		File: ps.file, Line: pos.line, Column: pos.column,
		Path: p.String(), Problem: fmt.Sprintf(format, args...),
	}
	switch n := len(ps.list); {
	case n < maxProblems:
		ps.list = append(ps.list, e)
	case n == maxProblems:
		e.Path, e.Problem = "", fmt.Sprintf("more than %d mistakes: what is found after them is not shown", maxProblems)
		ps.list = append(ps.list, e)
	}
}

// maxProblems bounds what aliases to a mistake can multiply.
const maxProblems = 2000

// written reports whether the file has a value at p.
func (ps *problems) written(p path) bool {
	_, ok := ps.at[p]
	return ok
}

func (ps *problems) position(p path) position {
	for {
		if pos, ok := ps.at[p]; ok {
			return pos
		}
		p = p.parent()
	}
}

// where returns "file:line:column" of p, for problems that name two places.
func (ps *problems) where(p path) string {
	pos := ps.position(p)
	return fmt.Sprintf("%s:%d:%d", ps.file, pos.line, pos.column)
}

func (ps *problems) isBroken(p path) bool {
	for ; p != ""; p = p.parent() {
		if ps.broken[p] {
			return true
		}
	}
	return ps.broken[""]
}

// unread reports whether something at p or beneath could not be read.
func (ps *problems) unread(p path) bool {
	for broken := range ps.broken {
		if strings.HasPrefix(string(broken), string(p)+separator) {
			return true
		}
	}
	return ps.isBroken(p)
}

// err returns all problems in the order of the file; nil: there are none.
func (ps *problems) err() error {
	slices.SortStableFunc(ps.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Problem, b.Problem))
	})
	list := slices.CompactFunc(ps.list, func(a, b *Error) bool { return *a == *b })
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = e
	}
	return errors.Join(errs...)
}

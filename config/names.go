package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

const (
	// maxName is how many characters a DNS name has at most (RFC 1035 §2.3.4).
	maxName = 253
	// maxZone leaves room for the names beneath a zone.
	maxZone = 200
	// randomLabel is how many characters a random name adds, with its dot.
	randomLabel = 21
)

// label is what a target or a module may be called: fit for a label's value, a
// URL's query and a file's name.
var label = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func checkLabel(name string) error {
	if !label.MatchString(name) {
		return errors.New("a name is 1 to 63 of the characters a-z, 0-9, _ and -, and begins with a letter or a digit")
	}
	return nil
}

// checkDomain checks that name is a domain in the one form that can be
// compared: lower case, without the final dot, internationalized labels encoded.
func checkDomain(name string) error { return checkForm(name, false) }

// checkZone is [checkDomain] for a zone that may hold no hosts: its labels may
// begin with an underscore, as in _acme-challenge.www.corp.example.
func checkZone(name string) error { return checkForm(name, true) }

func checkForm(name string, underscores bool) error {
	if name == "" {
		return errors.New("is empty: want a domain such as probe.example")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%q is an address: want a domain such as probe.example", name)
	}
	plain := strings.ToLower(strings.TrimSuffix(name, "."))
	if ascii, err := idna.Lookup.ToASCII(plain); err == nil {
		plain = ascii
	}
	if err := checkLabels(plain, underscores); err != nil {
		return fmt.Errorf("%q is not a domain: %w", name, err)
	}
	if plain != name {
		return fmt.Errorf("%q is written differently from how it is compared: write %q", name, plain)
	}
	return nil
}

func checkLabels(name string, underscores bool) error {
	if len(name) > maxZone {
		return fmt.Errorf("it is longer than %d characters", maxZone)
	}
	last := ""
	for last = range strings.SplitSeq(name, ".") {
		if underscores {
			last = strings.TrimPrefix(last, "_")
		}
		switch {
		case last == "":
			return errors.New("a label is empty")
		case len(last) > 63:
			return errors.New("a label is longer than 63 characters")
		case strings.HasPrefix(last, "-") || strings.HasSuffix(last, "-"):
			return fmt.Errorf("the label %q begins or ends with a hyphen", last)
		}
		for _, r := range last {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
				return fmt.Errorf("the character %q does not belong into the label %q", r, last)
			}
		}
	}
	if strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("its last label, %q, is a number", last)
	}
	return nil
}

// beneath reports whether name is zone or a name beneath it.
func beneath(name, zone string) bool {
	return name == zone || strings.HasSuffix(name, "."+zone)
}

// reserved reports whether nobody can own the domain (RFC 2606, RFC 6761), so
// that a public CA refuses it.
func reserved(domain string) bool {
	return slices.ContainsFunc([]string{
		"example.com", "example.net", "example.org", "example", "invalid", "localhost", "test",
	}, func(r string) bool { return beneath(strings.ToLower(domain), r) })
}

// checkListen checks an address to listen at.
func checkListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && host != "localhost" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address to listen at: want address:port, such as \":80\", \"192.0.2.1:80\" or \"[2001:db8::1]:80\"", address)
	}
	return nil
}

// collide reports whether one socket would stand in the way of the other.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || hostA == "" || hostB == ""
}

// nearest returns the candidate that word is a slip of; empty: none.
func nearest(word string, candidates []string) string {
	best, least := "", 1+max(1, min(2, len(word)/3))
	for _, c := range candidates {
		if n := distance(strings.ToLower(word), c); n < least {
			best, least = c, n
		}
	}
	return best
}

// distance is Damerau's and Levenshtein's, with adjacent transpositions only.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			substitution := 1
			if a[i] == b[j] {
				substitution = 0
			}
			row[j+1] = min(last[j]+substitution, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// hint returns what to say of a word that is not among those known.
func hint(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + strings.Join(known, ", ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// texts returns the list as strings.
func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

package fakeca

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ValidateDNS returns an Options.Validate that asks the server at the address
// that address returns for the records of dns-01 (RFC 8555 §8.4), dns-account-01
// and dns-persist-01.
func ValidateDNS(address func() string) func(context.Context, probe.Challenge) error {
	return func(ctx context.Context, c probe.Challenge) error {
		if !c.Type.DNS() {
			return malformed("validator: challenge of type %q", c.Type)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		resolver := &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, address())
			},
		}
		values, err := resolver.LookupTXT(ctx, c.Record.Name+".")
		if err != nil {
			return &Problem{Type: "dns", Status: http.StatusBadRequest, Detail: "looking up the TXT record failed"}
		}
		solved := slices.Contains(values, c.Record.Value)
		reason := "no TXT record has the value"
		if c.Type == probe.DNSPersist01 {
			solved = false
			for _, value := range values {
				if err := authorizes(value, c.Record.Value); err != nil {
					reason = fmt.Sprintf("%q: %v", value, err)
				} else {
					solved = true
				}
			}
		}
		if !solved {
			return &Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: reason}
		}
		return nil
	}
}

// authorizes says why the value of a dns-persist-01 record does not say what is
// wanted; nil: it does. It is strict: what differs from what we write is wrong.
func authorizes(value, wanted string) error {
	issuer, parameters, err := parsePersist(value)
	if err != nil {
		return err
	}
	wantedIssuer, wantedParameters, err := parsePersist(wanted)
	switch {
	case err != nil:
		return err
	case issuer != wantedIssuer:
		return errors.New("another issuer")
	case parameters["accounturi"] != wantedParameters["accounturi"]:
		return errors.New("another account")
	case wantedParameters["policy"] != "" && parameters["policy"] != wantedParameters["policy"]:
		return errors.New("the policy allows no wildcard")
	}
	if until, found := parameters["persistUntil"]; found {
		seconds, err := strconv.ParseInt(until, 10, 64)
		if err != nil || time.Now().After(time.Unix(seconds, 0)) {
			return errors.New("the time is over")
		}
	}
	return nil
}

// parsePersist reads an issue-value of RFC 8659 §4.2.
func parsePersist(value string) (issuer string, parameters map[string]string, err error) {
	parts := strings.Split(value, "; ")
	parameters = make(map[string]string)
	for _, part := range parts[1:] {
		tag, v, found := strings.Cut(part, "=")
		if _, twice := parameters[tag]; !found || twice || tag == "" || strings.ContainsAny(part, " \t;") {
			return "", nil, fmt.Errorf("parameter %q", part)
		}
		parameters[tag] = v
	}
	return parts[0], parameters, nil
}

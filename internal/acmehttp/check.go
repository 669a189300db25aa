package acmehttp

import "net/url"

// CheckHost returns why no request to u's host would be sent: it is written as
// an address that this target may not send us to; nil: nothing speaks against
// it. A name is judged only when it is dialled, by what it resolves to.
func (s *Session) CheckHost(u *url.URL) error {
	return s.transport.guard.checkHost(u.Hostname(), s.transport.guard.own(u), s.pool.blocks())
}

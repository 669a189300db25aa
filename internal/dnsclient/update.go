package dnsclient

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

const (
	// updateTimeouts is how many times the timeout an update may take.
	updateTimeouts = 5
	// fudge is by how much the clocks may differ (RFC 8945 §10 recommends it).
	fudge = 300 * time.Second
)

// ErrUnsigned is that an answer which has to be signed with our key is not, so that
// anybody may have sent it.
var ErrUnsigned = errors.New("its answer is not signed with the key")

// UpdateError is a name server's refusal to update a zone.
type UpdateError struct {
	Server string // as it was given
	Zone   string // in lower case and without the final dot
	Rcode  int    // RFC 2136 §2.2; not 0
	// TSIGError is RFC 8945's: dns.RcodeBadSig, -BadKey, -BadTime …; 0: none.
	TSIGError int
	// Skew is by how much the server's clock is ahead of ours, at dns.RcodeBadTime;
	// 0: it did not say.
	Skew time.Duration
}

// Error names the server, the zone and what was answered.
func (e *UpdateError) Error() string {
	text := fmt.Sprintf("name server %s: update of zone %s: %s", e.Server, e.Zone, RcodeName(e.Rcode))
	if e.TSIGError != 0 {
		text += " (" + RcodeName(e.TSIGError) + ")"
	}
	return text
}

// RcodeName returns an RCODE's mnemonic, such as REFUSED.
func RcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("RCODE %d", rcode)
}

// Update sends m, an update of the zone in its question (dns.Msg.SetUpdate), signed
// with key, to server, host:port, over TCP. It returns nil when the server says, in
// an answer that is signed with the key, that it has done all of it. A server that
// refused makes an [*UpdateError].
func (c *Client) Update(ctx context.Context, server string, key Key, m *dns.Msg) error {
	q := m.Copy()
	q.Id = dns.Id()
	if _, err := base64.StdEncoding.DecodeString(key.Secret); err != nil {
		return fmt.Errorf("the secret of key %s is not base64", key.Name) // err would quote it
	}
	q.SetTsig(dns.CanonicalName(key.Name), dns.CanonicalName(key.Algorithm), uint16(fudge/time.Second), time.Now().Unix())
	packet, mac, err := dns.TsigGenerate(q, key.Secret, "", false)
	if err != nil {
		return fmt.Errorf("cannot sign an update with key %s: %w", key.Name, err)
	}
	if err := c.update(ctx, server, key, q, packet, mac); err != nil {
		if _, ok := errors.AsType[*UpdateError](err); ok {
			return err
		}
		return explain(ctx, server, err)
	}
	return nil
}

// update sends the signed packet that q has become, and checks the answer.
func (c *Client) update(ctx context.Context, server string, key Key, q *dns.Msg, packet []byte, mac string) error {
	conn, release, err := c.dial(ctx, "tcp", server, updateTimeouts*c.timeout())
	if err != nil {
		return err
	}
	defer release()
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	if packet, err = conn.ReadMsgHeader(nil); err != nil {
		return err
	}
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		return fmt.Errorf("its answer cannot be read: %w", err)
	}
	if !answers(m, q) {
		return errors.New("it answered something else than the update")
	}
	tsig := m.IsTsig()
	if m.Rcode != dns.RcodeSuccess {
		// Errors may be unsigned (RFC 8945 §5.3.2). Whoever forges one can have us take an
		// update for unmade that was made.
		refusal := &UpdateError{Server: server, Zone: Plain(q.Question[0].Name), Rcode: m.Rcode}
		if tsig != nil {
			refusal.TSIGError, refusal.Skew = int(tsig.Error), skew(tsig)
		}
		return refusal
	}
	if tsig == nil || dns.CanonicalName(tsig.Hdr.Name) != dns.CanonicalName(key.Name) {
		return ErrUnsigned
	}
	if err := dns.TsigVerify(packet, key.Secret, mac, false); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsigned, err)
	}
	return nil
}

// skew returns by how much a server's clock is ahead of ours, as it says where the
// clocks differ by too much (RFC 8945 §5.2.3); 0: it does not say.
func skew(tsig *dns.TSIG) time.Duration {
	theirs, err := hex.DecodeString(tsig.OtherData)
	if tsig.Error != dns.RcodeBadTime || err != nil || len(theirs) != 6 {
		return 0
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(append([]byte{0, 0}, theirs...))), 0)
	return time.Until(at).Round(time.Second)
}

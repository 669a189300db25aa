package dnsclient

import (
	"strings"

	"github.com/miekg/dns"
)

// maxString is the bytes of one string in a TXT record (RFC 1035 §3.3).
const maxString = 255

// NewTXT returns the TXT record of owner with value, of any length: its strings are
// joined by those who read them (RFC 8555 §8.4 means one text, RFC 7208 §3.3 says
// how). ttl is in seconds.
func NewTXT(owner, value string, ttl uint32) *dns.TXT {
	rr := &dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(owner), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl}}
	for first := true; first || value != ""; first = false {
		n := min(len(value), maxString)
		// The library takes a backslash for an escape.
		rr.Txt = append(rr.Txt, strings.ReplaceAll(value[:n], `\`, `\\`))
		value = value[n:]
	}
	return rr
}

// Text returns the strings of a TXT record, joined and without the escapes that
// the library puts in.
func Text(rr *dns.TXT) string {
	var text strings.Builder
	for _, s := range rr.Txt {
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] != '\\' || i+1 == len(s):
				text.WriteByte(s[i])
			case i+3 < len(s) && digits(s[i+1:i+4]):
				text.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
				i += 3
			default:
				text.WriteByte(s[i+1])
				i++
			}
		}
	}
	return text.String()
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

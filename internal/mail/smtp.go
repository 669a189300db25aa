package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/acme-exporter/acme_exporter/config"
)

const (
	// answerTimeout is how long each answer of the server may take, and acceptTimeout how
	// long it may take the message in, and as long again its answer to it (RFC 5321 §4.5.3.2 wants 5 and 10 minutes of us; no server
	// that works takes so long).
	answerTimeout = time.Minute
	acceptTimeout = 5 * time.Minute
)

// refusal is an error after which the mail was surely not accepted.
type refusal struct {
	doing string
	err   error
	// final: to try again soon would end the same way.
	final bool
}

// Error implements error.
func (r *refusal) Error() string { return r.doing + ": " + r.err.Error() }

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.err }

// lost is the error of a mail that may have been accepted.
type lost struct{ err error }

// Error implements error.
func (l *lost) Error() string {
	return "the server was given the whole mail and did not say what became of it: " + l.err.Error()
}

// Unwrap returns the cause.
func (l *lost) Unwrap() error { return l.err }

// refused makes an error of what went wrong before all of the mail was handed over,
// or of the server's answer to it.
func refused(doing string, err error) error {
	final := false
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		final = answer.Code >= 500
		err = fmt.Errorf("the server says %d %s", answer.Code, line(answer.Msg))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		final = true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		final = true
	}
	return &refusal{doing: doing, err: err, final: final}
}

// converse hands a mail over to the server. Just before the end of the mail is sent
// it calls handing, whose error keeps that from happening: without its end, no server
// accepts a mail (RFC 5321 §4.1.1.4). It returns the server's answer. Its error is a
// *refusal, or *lost.
func converse(ctx context.Context, connect func(context.Context, *config.SMTP) (net.Conn, error), to *config.Email, eml []byte, handing func() error) (answer string, err error) {
	s := &to.SMTP
	conn, err := connect(ctx, s)
	if err != nil {
		return "", refused("connect to "+s.Server, err)
	}
	defer conn.Close()
	cut := func() { _ = conn.SetDeadline(time.Unix(1, 0)) }
	defer context.AfterFunc(ctx, cut)()
	wait := func(d time.Duration) {
		_ = conn.SetDeadline(time.Now().Add(d))
		if ctx.Err() != nil {
			cut() // which may have been called just before
		}
	}
	wait(answerTimeout)
	c, err := smtp.NewClient(conn, s.Server)
	if err != nil {
		return "", refused("greet "+s.Server, err)
	}
	if err := begin(c, s, func() { wait(answerTimeout) }); err != nil {
		return "", err
	}
	c.SkipSMTPUTF8(true) // all of it is ASCII
	wait(answerTimeout)
	if err := c.Mail("<" + config.Mailbox(to.From).Address + ">"); err != nil {
		return "", refused("name the sender "+config.Mailbox(to.From).Address, err)
	}
	for _, one := range to.Recipients {
		address := config.Mailbox(one).Address
		wait(answerTimeout)
		if err := c.Rcpt("<" + address + ">"); err != nil {
			return "", refused("name the recipient "+address, err)
		}
	}
	wait(answerTimeout)
	w, err := c.Data()
	if err != nil {
		return "", refused("send the mail", err)
	}
	wait(acceptTimeout)
	if _, err := w.Write(eml); err != nil {
		return "", refused("send the mail", err)
	}
	if err := ctx.Err(); err != nil {
		return "", refused("send the mail", err)
	}
	if err := handing(); err != nil {
		return "", refused("note that the mail is being sent", err)
	}
	wait(acceptTimeout)
	if answer, err = finish(w); err != nil {
		return "", err
	}
	wait(answerTimeout)
	_ = c.Quit() // it is accepted
	return answer, nil
}

// finish sends the end of the mail, and returns the server's answer. Any 2xx accepts the
// mail, also what no standard has here, and 4xx and 5xx refuse it (RFC 5321 §4.2.1).
// After anything else nobody knows, and another try could deliver a second one.
func finish(w io.WriteCloser) (string, error) {
	err := w.Close()
	other, answered := errors.AsType[*textproto.Error](err)
	switch {
	case err == nil:
		said, ok := w.(*smtp.DataCloser)
		if !ok {
			return "", nil
		}
		return line(said.ServerResponse()), nil
	case answered && other.Code/100 == 2:
		return line(other.Msg), nil
	case answered && other.Code >= 400:
		return "", refused("send the mail", err)
	}
	return "", &lost{err}
}

// dial connects to the server, with TLS from the first byte where that is wanted.
func dial(ctx context.Context, s *config.SMTP) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	address := net.JoinHostPort(s.Server, strconv.Itoa(s.Port))
	if s.TLS == config.TLSImplicit {
		return (&tls.Dialer{Config: tlsConfig(s)}).DialContext(ctx, "tcp", address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func tlsConfig(s *config.SMTP) *tls.Config {
	return &tls.Config{ServerName: s.Server, RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}
}

// begin says who we are, over TLS where that is wanted. It calls next before each command.
func begin(c *smtp.Client, s *config.SMTP, next func()) error {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	next()
	if err := c.Hello(name); err != nil {
		return refused("greet "+s.Server, err)
	}
	if s.TLS == config.TLSStart {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return &refusal{doing: "begin TLS", final: true, err: errors.New("the server does not offer STARTTLS: is it the right port, and is nobody in between? tls: implicit is for port 465")}
		}
		next()
		if err := c.StartTLS(tlsConfig(s)); err != nil {
			return refused("begin TLS", err)
		}
	}
	if s.Username == "" {
		return nil
	}
	_, offered := c.Extension("AUTH")
	auth := authentication(s, strings.Fields(offered))
	if auth == nil {
		return &refusal{doing: "log in as " + strconv.Quote(s.Username), final: true,
			err: fmt.Errorf("the server offers none of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and LOGIN, but %q: remove username and password_file if it wants none", offered)}
	}
	next()
	if err := c.Auth(auth); err != nil {
		return refused("log in as "+strconv.Quote(s.Username), err)
	}
	return nil
}

// authentication is the best that the server offers; nil: there is none that we know.
func authentication(s *config.SMTP, offered []string) smtp.Auth {
	password := string(s.Password())
	for _, one := range []struct {
		name string
		auth smtp.Auth
	}{
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(s.Username, password)},
		{"SCRAM-SHA-1", smtp.ScramSHA1Auth(s.Username, password)},
		{"PLAIN", smtp.PlainAuth("", s.Username, password, s.Server, false)},
		{"LOGIN", smtp.LoginAuth(s.Username, password, s.Server, false)},
	} {
		if slices.Contains(offered, one.name) {
			return one.auth
		}
	}
	return nil
}

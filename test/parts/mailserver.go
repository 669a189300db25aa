package parts

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Mail is what a MailServer has taken.
type Mail struct {
	From string
	To   []string
	User string // who had logged in
	TLS  bool
	Data []byte // as it was sent
}

// MailServer takes mail over STARTTLS from who logs in, and keeps it.
type MailServer struct {
	Port           int
	User, Password string
	CAFile         string // the root of its certificate, in PEM

	mu    sync.Mutex // guards what is below
	taken []Mail
	turns []error // what becomes of the next mails, after all of each has come
}

// StartMailServer starts a server on 127.0.0.1. It ends with the test.
func StartMailServer(tb testing.TB) *MailServer {
	tb.Helper()
	certificate, key := ServerCertificate(tb)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		tb.Fatal(err)
	}
	m := &MailServer{User: "acme", Password: "hunter2 ", CAFile: filepath.Join(tb.TempDir(), "mail-ca.pem")}
	write(tb, m.CAFile, certificate)
	server := smtp.NewServer(m)
	server.Domain = "mail.example.org"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	m.Port = listener.Addr().(*net.TCPAddr).Port
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	tb.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return m
}

// Refuse has the server refuse the next mail with the error, such as [ErrTryLater],
// after all of it has come.
func (m *MailServer) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turns = append(m.turns, err)
}

// Taken returns what the server has accepted.
func (m *MailServer) Taken() []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.taken)
}

// NewSession implements [smtp.Backend].
func (m *MailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &mailSession{server: m, conn: c}, nil
}

// mailSession is a connection.
type mailSession struct {
	server *MailServer
	conn   *smtp.Conn
	user   string
	mail   Mail
}

// AuthMechanisms implements [smtp.AuthSession].
func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements [smtp.AuthSession].
func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.User || password != s.server.Password {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return nil
	}), nil
}

// Mail implements [smtp.Session].
func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.user == "" {
		return smtp.ErrAuthRequired
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.mail = Mail{From: from, User: s.user, TLS: encrypted}
	return nil
}

// Rcpt implements [smtp.Session].
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.To = append(s.mail.To, to)
	return nil
}

// Data implements [smtp.Session].
func (s *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if turns := s.server.turns; len(turns) > 0 {
		s.server.turns = turns[1:]
		return turns[0]
	}
	s.mail.Data = data
	s.server.taken = append(s.server.taken, s.mail)
	return nil
}

// Reset implements [smtp.Session].
func (s *mailSession) Reset() { s.mail = Mail{} }

// Logout implements [smtp.Session].
func (s *mailSession) Logout() error { return nil }

// ErrTryLater is what a server says that is too busy.
var ErrTryLater = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "try later"}

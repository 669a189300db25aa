package mail

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// server answers as it was told to, over a connection without TLS. What it was not
// told it answers as a server does that takes everything.
type server struct {
	port int
	// slow is how long each answer takes, and slowMail how long both the mail and the
	// answer to it take.
	slow, slowMail time.Duration

	mu    sync.Mutex // guards what is below
	said  map[string][]string
	mails []string // those that came with their end, in the order in which they came
	turns int      // connections that began
}

// hangUp is an answer that is none.
const hangUp = ""

// listen starts a server. It ends with the test.
func listen(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{port: listener.Addr().(*net.TCPAddr).Port, said: map[string][]string{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	return s
}

// says has the server answer a command so, once for each answer, the next time it
// comes; "." is the end of a mail, "220" the greeting.
func (s *server) says(command string, answers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said[command] = append(s.said[command], answers...)
}

// answer is what the server says to a command.
func (s *server) answer(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.said[command]; len(list) > 0 {
		s.said[command] = list[1:]
		return list[0]
	}
	return usual
}

// got returns the mails that came with their end.
func (s *server) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mails...)
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turns
}

func (s *server) serve(conn net.Conn) {
	s.mu.Lock()
	s.turns++
	s.mu.Unlock()
	say := func(answer string) bool {
		if answer == hangUp {
			return false
		}
		time.Sleep(s.slow)
		_, err := io.WriteString(conn, answer+"\r\n")
		return err == nil
	}
	if !say(s.answer("220", "220 ready")) {
		return
	}
	lines := bufio.NewReader(conn)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		command, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(text)), " ")
		usual := map[string]string{"EHLO": "250-hello\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye"}[command]
		if usual == "" {
			usual = "250 ok"
		}
		answer := s.answer(command, usual)
		if !say(answer) || command == "QUIT" {
			return
		}
		if command == "DATA" && strings.HasPrefix(answer, "354") && !s.take(lines, say) {
			return
		}
	}
}

// take reads a mail, and answers to its end.
func (s *server) take(lines *bufio.Reader, say func(string) bool) bool {
	var mail strings.Builder
	time.Sleep(s.slowMail)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return false
		}
		if text == ".\r\n" {
			s.mu.Lock()
			s.mails = append(s.mails, mail.String())
			n := len(s.mails)
			s.mu.Unlock()
			time.Sleep(s.slowMail)
			return say(s.answer(".", fmt.Sprintf("250 2.0.0 taken as %d", n)))
		}
		mail.WriteString(strings.TrimPrefix(text, "."))
	}
}

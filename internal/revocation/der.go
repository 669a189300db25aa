package revocation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

const (
	// bufferSize is what is held of a CRL at a time, maxElement how long a part of it
	// may be that is read at once: an entry, a name, the extensions.
	bufferSize = 64 << 10
	maxElement = 60 << 10
)

// stream reads DER (X.690) as it comes, and hands what is signed to whoever is to
// verify that. Its memory does not grow with what it reads.
type stream struct {
	r      *bufio.Reader
	pos    int64     // bytes read
	signed io.Writer // gets all that is read; nil: it is not signed
}

func newStream(r io.Reader) *stream { return &stream{r: bufio.NewReaderSize(r, bufferSize)} }

// header is the beginning of an element.
type header struct {
	tag    byte
	size   int   // of the header itself
	length int64 // of the content
}

// peek returns the header of the element that comes next and ends before end.
func (s *stream) peek(end int64) (header, error) {
	raw, err := s.r.Peek(6)
	if len(raw) < 2 {
		return header{}, unexpected(err)
	}
	h := header{tag: raw[0], size: 2, length: int64(raw[1])}
	if h.tag&0x1f == 0x1f {
		return header{}, errors.New("a tag of several bytes")
	}
	if n := int(raw[1]) & 0x7f; raw[1] >= 0x80 {
		if n == 0 || n > 4 {
			return header{}, errors.New("a length that DER does not have, or more than 4 GiB")
		}
		if len(raw) < 2+n {
			return header{}, unexpected(err)
		}
		h.length = 0
		for _, b := range raw[2 : 2+n] {
			h.length = h.length<<8 | int64(b)
		}
		h.size += n
		if h.length < 0x80 || n > 1 && h.length>>(8*(n-1)) == 0 {
			return header{}, errors.New("a length that is not as short as it can be")
		}
	}
	if s.pos+int64(h.size)+h.length > end {
		return header{}, errors.New("an element that is longer than what it is in")
	}
	return h, nil
}

// enter reads the header of a constructed element, and returns where its content
// ends.
func (s *stream) enter(tag byte, end int64) (int64, error) {
	h, err := s.peek(end)
	if err != nil {
		return 0, err
	}
	if h.tag != tag {
		return 0, fmt.Errorf("the tag 0x%02x where 0x%02x has to be", h.tag, tag)
	}
	if _, err := s.read(h.size); err != nil {
		return 0, err
	}
	return s.pos + h.length, nil
}

// element reads a whole element, its header included. It is good until the next
// read.
func (s *stream) element(end int64) ([]byte, error) {
	h, err := s.peek(end)
	if err != nil {
		return nil, err
	}
	if h.length > maxElement {
		return nil, fmt.Errorf("an element of %d bytes, more than %d", h.length, maxElement)
	}
	return s.read(h.size + int(h.length))
}

// read reads n bytes, which are good until the next read.
func (s *stream) read(n int) ([]byte, error) {
	b, err := s.r.Peek(n)
	if err != nil {
		return nil, unexpected(err)
	}
	if s.signed != nil {
		if _, err := s.signed.Write(b); err != nil {
			return nil, err
		}
	}
	s.pos += int64(n)
	_, err = s.r.Discard(n) // of what is in the buffer, and stays there until it is filled again
	return b, err
}

// next returns the tag of the element that comes next before end; 0: none does.
func (s *stream) next(end int64) (byte, error) {
	if s.pos >= end {
		return 0, nil
	}
	b, err := s.r.Peek(1)
	if err != nil {
		return 0, unexpected(err)
	}
	return b[0], nil
}

// unexpected is err where there has to be more.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

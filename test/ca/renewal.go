package main

import (
	"math/big"
	"net/http"
	"strings"
	"sync"

	"github.com/letsencrypt/pebble/v2/db"
)

// renewals are what is said of when certificates should be renewed, in place of
// what Pebble makes up (RFC 9773).
type renewals struct {
	mu      sync.Mutex        // guards answers
	answers map[string]string // by serial number, in hex; those that Pebble has not heard of
}

// wrap has Pebble, of which next is the handler, hear of them before it is asked.
func (n *renewals) wrap(next http.Handler, store *db.MemoryStore) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, renewalInfoPath) {
			if err := n.tell(store); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (n *renewals) tell(store *db.MemoryStore) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for text, answer := range n.answers {
		delete(n.answers, text)
		serial, _ := new(big.Int).SetString(text, 16) // set has read it
		if err := store.SetARIResponse(serial, answer); err != nil {
			return err
		}
	}
	return nil
}

// set is POST /renewal-info?serial=HEX&answer=JSON; the answer may be anything,
// and without one it is Pebble's again.
func (n *renewals) set(w http.ResponseWriter, r *http.Request) {
	text := r.FormValue("serial")
	if _, ok := new(big.Int).SetString(text, 16); !ok {
		http.Error(w, "want a serial number in hex", http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answers == nil {
		n.answers = map[string]string{}
	}
	n.answers[text] = r.FormValue("answer")
	answer(w, len(n.answers))
}

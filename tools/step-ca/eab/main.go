// Command eab puts the key of an external account into the database of a step-ca
// that does not run, for tests: step-ca itself makes such keys through its remote
// administration only.
package main

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/smallstep/nosql"
)

// table is step-ca's own.
const table = "acme_external_account_keys"

// externalAccountKey is what step-ca 0.30 stores, to the byte: it replaces a
// value only if that is what it would have written itself. The provisioner of a
// configuration file has no identifier.
type externalAccountKey struct {
	ID            string    `json:"id"`
	ProvisionerID string    `json:"provisionerID"`
	Reference     string    `json:"reference"`
	AccountID     string    `json:"accountID,omitempty"`
	HmacKey       []byte    `json:"key"`
	CreatedAt     time.Time `json:"createdAt"`
	BoundAt       time.Time `json:"boundAt"`
}

func main() {
	dir := flag.String("db", "", "directory of the badgerv2 database")
	id := flag.String("id", "", "key identifier")
	key := flag.String("key", "", "HMAC key in base64url")
	flag.Parse()
	if err := add(*dir, *id, *key); err != nil {
		fmt.Fprintln(os.Stderr, "eab:", err)
		os.Exit(1)
	}
}

func add(dir, id, key string) error {
	hmac, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return fmt.Errorf("decode the HMAC key: %w", err)
	}
	value, err := json.Marshal(externalAccountKey{ID: id, HmacKey: hmac, CreatedAt: time.Now().UTC()})
	if err != nil {
		return err
	}
	db, err := nosql.New("badgerv2", dir)
	if err != nil {
		return fmt.Errorf("open %q: %w", dir, err)
	}
	if err := db.CreateTable([]byte(table)); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	if err := db.Set([]byte(table), []byte(id), value); err != nil {
		return fmt.Errorf("store the key: %w", err)
	}
	return db.Close()
}

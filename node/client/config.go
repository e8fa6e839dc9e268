package client

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// ConfigEntry is one key of the cluster's replicated configuration. In JSON its value is the string "value" where it is
// UTF-8, and "value_base64" elsewhere.
type ConfigEntry struct {
	Key      string
	Value    []byte // at most 64 KiB
	Revision uint64 // of the last write: higher is later, over all keys
}

// ConfigWrite is the request to set a key, in JSON as ConfigEntry.
type ConfigWrite struct {
	Value []byte
	// Revision, where set, must be the entry's for the write to happen; 0: the key must not exist.
	Revision *uint64
}

// ConfigChanged is the answer to a write or a deletion.
type ConfigChanged struct {
	Key      string `json:"key"`
	Revision uint64 `json:"revision"` // of the change; 0 where there was nothing to delete
}

// ConfigList is one page of the configuration, by key.
type ConfigList struct {
	Entries []ConfigEntry `json:"entries"`
	More    bool          `json:"more"` // ask again, after the last key
}

type encodedValue struct {
	Text   *string `json:"value,omitempty"`
	Base64 *[]byte `json:"value_base64,omitempty"`
}

type encodedEntry struct {
	Key string `json:"key"`
	encodedValue
	Revision uint64 `json:"revision"`
}

type encodedWrite struct {
	encodedValue
	Revision *uint64 `json:"revision,omitempty"`
}

func encodeValue(value []byte) encodedValue {
	if utf8.Valid(value) {
		text := string(value)
		return encodedValue{Text: &text}
	}
	return encodedValue{Base64: &value}
}

func (v encodedValue) decode() ([]byte, error) {
	switch {
	case (v.Text == nil) == (v.Base64 == nil):
		return nil, errors.New(`want exactly one of "value" and "value_base64"`)
	case v.Text != nil:
		return []byte(*v.Text), nil
	}
	return *v.Base64, nil
}

// MarshalJSON chooses the field that the value fits in.
func (e ConfigEntry) MarshalJSON() ([]byte, error) {
	return json.Marshal(encodedEntry{Key: e.Key, encodedValue: encodeValue(e.Value), Revision: e.Revision})
}

// UnmarshalJSON takes either field.
func (e *ConfigEntry) UnmarshalJSON(b []byte) error {
	var in encodedEntry
	if err := unmarshalStrict(b, &in, false); err != nil {
		return err
	}
	value, err := in.decode()
	*e = ConfigEntry{Key: in.Key, Value: value, Revision: in.Revision}
	return err
}

// MarshalJSON chooses the field that the value fits in.
func (w ConfigWrite) MarshalJSON() ([]byte, error) {
	return json.Marshal(encodedWrite{encodedValue: encodeValue(w.Value), Revision: w.Revision})
}

// UnmarshalJSON takes either field, and no others: a misspelled revision must not make a write unconditional.
func (w *ConfigWrite) UnmarshalJSON(b []byte) error {
	var in encodedWrite
	if err := unmarshalStrict(b, &in, true); err != nil {
		return err
	}
	value, err := in.decode()
	*w = ConfigWrite{Value: value, Revision: in.Revision}
	return err
}

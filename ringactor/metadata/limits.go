package metadata

import (
	"strings"
	"unicode/utf8"
)

// Limits. They are part of the state machine: changing one needs a new feature level.
const (
	MaxTopicName       = 249
	MaxTopics          = 100_000
	MaxPartitions      = 100_000   // of one topic
	MaxPartitionsTotal = 2_000_000 // of all topics
	MaxReplicas        = 16        // of one partition
	MaxNodes           = 10_000
	MaxNodeWeight      = 1 << 16
	MaxText            = 255 // bytes of a name, an address, a zone or a kind
	MaxConfigKey       = 256 // bytes
	MaxConfigValue     = 64 << 10
	MaxConfigKeys      = 100_000
	MaxBatch           = 10_000 // commands
	MaxPage            = 1_000  // records in one answer to a list
	TopicIDSize        = 16     // bytes
)

// ValidTopicName says whether a topic may have that name: 1 to 249 bytes of
// a-z, A-Z, 0-9, dot, underscore and dash, but neither "." nor "..".
func ValidTopicName(topic string) error {
	if len(topic) == 0 || len(topic) > MaxTopicName {
		return refuse(ReasonInvalid, "topic name has %d bytes, allowed are 1 to %d", len(topic), MaxTopicName)
	}
	if topic == "." || topic == ".." {
		return refuse(ReasonInvalid, "topic name %q is reserved, choose another", topic)
	}
	for i := range len(topic) {
		switch c := topic[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return refuse(ReasonInvalid, "topic name has byte %#02x at %d, allowed are a-z A-Z 0-9 . _ -", c, i)
		}
	}
	return nil
}

// ValidConfigKey says whether a config entry may have that key: 1 to 256 bytes of UTF-8 without control characters.
func ValidConfigKey(key string) error {
	if len(key) == 0 || len(key) > MaxConfigKey {
		return refuse(ReasonInvalid, "config key has %d bytes, allowed are 1 to %d", len(key), MaxConfigKey)
	}
	return printable("config key", key)
}

func validText(what, text string, required bool) error {
	if len(text) > MaxText || required && text == "" {
		return refuse(ReasonInvalid, "%s has %d bytes, allowed are up to %d", what, len(text), MaxText)
	}
	return printable(what, text)
}

func printable(what, text string) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return refuse(ReasonInvalid, "%s %q has control characters or invalid UTF-8", what, text)
	}
	return nil
}

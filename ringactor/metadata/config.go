package metadata

import (
	"bytes"

	"google.golang.org/protobuf/proto"
)

func (s *State) setConfig(index uint64, c *SetConfig) (proto.Message, error) {
	if err := ValidConfigKey(c.Key); err != nil {
		return nil, err
	}
	if len(c.Value) > MaxConfigValue {
		return nil, refuse(ReasonLimit, "value of config key %q has %d bytes, allowed are %d", c.Key, len(c.Value), MaxConfigValue)
	}
	old := s.Config(c.Key)
	if c.ExpectedRevision != nil && *c.ExpectedRevision != old.GetRevision() {
		return nil, refuse(ReasonRevisionMismatch, "config key %q has revision %d, expected was %d: read it again", c.Key, old.GetRevision(), *c.ExpectedRevision)
	}
	if c.Delete {
		if len(c.Value) > 0 {
			return nil, refuse(ReasonInvalid, "config key %q is to be deleted and to be written", c.Key)
		}
		if old == nil {
			return &ConfigChanged{Key: c.Key}, nil
		}
		s.dropConfig(c.Key)
		return &ConfigChanged{Key: c.Key, Revision: index}, nil
	}
	if old == nil && s.config.len() >= MaxConfigKeys {
		return nil, refuse(ReasonLimit, "there are %d config keys already, delete one first", s.config.len())
	}
	s.putConfig(&ConfigEntry{Key: c.Key, Value: bytes.Clone(c.Value), Revision: index})
	return &ConfigChanged{Key: c.Key, Revision: index}, nil
}

package membership

import (
	"slices"
	"strings"
)

// The names of tags with a meaning: subsystems read the zone, WithRole reads the roles, and the rest is for people and for apps, which
// are free to have others.
const (
	// TagZone is the failure domain that a member stands in, such as an availability zone.
	TagZone = "zone"
	// TagRack is a smaller failure domain within the zone.
	TagRack = "rack"
	// TagRoles is what a member is there for, separated by commas.
	TagRoles = "roles"
	// TagVersion is the release that a member runs.
	TagVersion = "version"
)

// Zone is the member's failure domain, empty where it told none.
func (m *Member) Zone() string { return m.GetTags()[TagZone] }

// Roles are what the member is there for, in the order in which it told them, each once.
func (m *Member) Roles() []string {
	var roles []string
	for role := range strings.SplitSeq(m.GetTags()[TagRoles], ",") {
		if role = strings.TrimSpace(role); role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// HasRole reports whether the member is there for that.
func (m *Member) HasRole(role string) bool { return slices.Contains(m.Roles(), role) }

// WithRole returns the members that are up and have a role, by node id; in a zone where that is not empty.
func (v View) WithRole(role, zone string) []*Member {
	return slices.DeleteFunc(v.Sorted(), func(m *Member) bool {
		return !m.Up() || !m.HasRole(role) || zone != "" && m.Zone() != zone
	})
}

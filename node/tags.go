package node

import (
	"maps"
	"runtime/debug"

	"github.com/hupe1980/rivven-cluster/actors/membership"
)

const modulePath = "github.com/hupe1980/rivven-cluster"

// memberTags are what the node tells all members of itself. Zone and rack have keys of their own; an app may set another version.
func (c Config) memberTags(version string) map[string]string {
	tags := make(map[string]string, len(c.Tags)+3)
	tags[membership.TagVersion] = version
	maps.Copy(tags, c.Tags)
	for tag, value := range map[string]string{membership.TagZone: c.Zone, membership.TagRack: c.Rack} {
		if value != "" {
			tags[tag] = value
		}
	}
	return tags
}

// buildVersion is the release of this module that the program was built with.
func buildVersion() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(info)
}

// versionOf finds the module as the program itself or among what it was built from; a build from a working copy is "devel", with its
// revision where that is known.
func versionOf(info *debug.BuildInfo) string {
	const devel = "devel"
	if info == nil {
		return devel
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path != modulePath {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && info.Main.Path == modulePath {
			return devel + "-" + s.Value[:min(len(s.Value), 12)]
		}
	}
	return devel
}

package raftactor

import (
	"sort"
	"time"
)

const (
	lagEvery   = 50 * time.Millisecond // how exact a lag is
	lagSamples = 512
)

// lagClock remembers when entries were appended, so that a leader can say for how long a follower has been behind. It is bounded: what is
// long ago it knows less exactly.
type lagClock struct{ samples []lagSample }

// lagSample says that entries from first on were appended at that time or later.
type lagSample struct {
	first uint64
	at    time.Duration
}

// note takes an append down. Entries that replace others forget when those were appended.
func (c *lagClock) note(first uint64, at time.Duration) {
	n := len(c.samples)
	for n > 0 && c.samples[n-1].first >= first {
		n--
	}
	if c.samples = c.samples[:n]; n > 0 && at-c.samples[n-1].at < lagEvery {
		return
	}
	if n == lagSamples {
		for i := range lagSamples / 2 {
			c.samples[i] = c.samples[2*i]
		}
		c.samples = c.samples[:lagSamples/2]
	}
	c.samples = append(c.samples, lagSample{first, at})
}

// lag is how long ago the entry behind match was appended. What was appended before the first sample is at least that old.
func (c *lagClock) lag(match, last uint64, now time.Duration) time.Duration {
	if match >= last || len(c.samples) == 0 {
		return 0
	}
	i := sort.Search(len(c.samples), func(i int) bool { return c.samples[i].first > match+1 })
	return now - c.samples[max(i, 1)-1].at
}

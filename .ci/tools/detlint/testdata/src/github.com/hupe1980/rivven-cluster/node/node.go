// Package node lies outside of what is simulated.
package node

import "time"

func Start(m map[string]func()) time.Time {
	for _, f := range m {
		go f()
	}
	return time.Now()
}

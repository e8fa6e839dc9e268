package actors

type Address struct {
	Host  string
	Names []string
}

var last string

func (a *Address) Text() string { return "at " + a.Host }

func (a *Address) Rename(name string) { a.Names = append(a.Names, name) }

func Note(s string) { last = s }

func Longest(s []string) (best string) {
	for _, v := range s {
		if len(v) > len(best) {
			best = v
		}
	}
	return best
}

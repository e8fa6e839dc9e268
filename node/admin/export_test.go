package admin

// Routes lists "METHOD /path" of everything that is served, profiles apart.
func Routes() []string {
	var out []string
	for _, r := range (&Server{}).routeTable() {
		out = append(out, r.method+" "+r.path)
	}
	return out
}

package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// printer writes rows in one of the two forms.
type printer interface {
	rows(s Suite, c Case, rows []Row) error
}

// jsonPrinter writes one object a line; ratios and limits go to notes, for people.
type jsonPrinter struct{ out, notes io.Writer }

func (p jsonPrinter) rows(s Suite, c Case, rows []Row) error {
	encoder := json.NewEncoder(p.out)
	for _, r := range rows {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	for _, verdict := range verdicts(s, c, rows) {
		if _, err := fmt.Fprintln(p.notes, c.Name+":", verdict); err != nil {
			return err
		}
	}
	return nil
}

// tablePrinter writes a table for each case.
type tablePrinter struct{ out io.Writer }

func (p tablePrinter) rows(s Suite, c Case, rows []Row) error {
	own, hasOwn := find(rows, s.Systems[0].Name)
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(table, "%s\tsystem\t%s\tlowest\thighest\tp50 ms\tp99 ms\t%s ÷ it\t\n", c.Name, c.Unit, s.Systems[0].Name)
	for _, r := range rows {
		ratio := "–"
		if hasOwn && r.Value != 0 {
			ratio = short(own.Value / r.Value)
		}
		_, _ = fmt.Fprintf(table, "\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.System, short(r.Value), short(r.Low), short(r.High), optional(r.P50), optional(r.P99), ratio)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, verdict := range verdicts(s, c, rows) {
		_, _ = fmt.Fprintln(p.out, "  "+verdict)
	}
	_, err := fmt.Fprintln(p.out)
	return err
}

func find(rows []Row, system string) (Row, bool) {
	for _, r := range rows {
		if r.System == system {
			return r, true
		}
	}
	return Row{}, false
}

// verdicts says of each limit whether it was reached.
func verdicts(s Suite, c Case, rows []Row) []string {
	own, ok := find(rows, s.Systems[0].Name)
	if !ok {
		return nil
	}
	var out []string
	for _, limit := range c.Limits {
		value, what := own.Value, own.System
		if limit.Against != "" {
			other, ok := find(rows, limit.Against)
			if !ok || other.Value == 0 {
				continue
			}
			value, what = own.Value/other.Value, own.System+" ÷ "+limit.Against
		}
		want, holds := "≥ "+short(limit.AtLeast), value >= limit.AtLeast
		if limit.AtMost != 0 {
			want, holds = "≤ "+short(limit.AtMost), value <= limit.AtMost
		}
		verdict := "holds"
		if !holds {
			verdict = "falls short"
		}
		unit := ""
		if limit.Against == "" {
			unit = " " + c.Unit
		}
		out = append(out, fmt.Sprintf("%s: %s%s, wanted %s%s: %s", what, short(value), unit, want, unit, verdict))
	}
	return out
}

func optional(v *float64) string {
	if v == nil {
		return "–"
	}
	return short(*v)
}

// short writes three digits that count, and whole numbers in full with their thousands apart.
func short(v float64) string {
	if v < 1000 && v > -1000 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Package runner measures systems side by side and prints what it found.
//
// A [Suite] is a list of cases and a list of systems; a case holds one [Measure] for each system that can do it.
// [Run] takes the cases one by one and measures the systems in turn, A B A B, for as many rounds as asked, so that
// what else happens on the machine meets all of them alike. The figure of a system is the median of its rounds.
//
// A system that needs processes of its own starts them with [Start]: the program runs itself again and lands in the
// suite's Process function. Both ends of a measurement are then fresh processes that nothing else was measured in.
//
//	main ─▶ Main ─▶ Run ─▶ case ─▶ round ─▶ system ─▶ Measure ─▶ Sample
//	                                                    └─ Start ─▶ (same program) ─▶ Suite.Process
package runner

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node"
	"github.com/hupe1980/rivven-cluster/node/recovery"
)

func (a *app) recoverCommand() *cobra.Command {
	c := group("recover", "Bring a cluster back whose majority is lost for good, offline, in two steps", a.recoverPlan(), a.recoverApply())
	c.Long = `Bring a cluster back whose majority is lost for good. Only for that: as long as a majority can be started again, start it.

 1. Stop the nodes that are left. On each of them: recover plan --config FILE --out nodeN.json
 2. On one: recover plan --config FILE --compare nodeM.json …; it says whether another one has more.
 3. On the one that has the most: recover apply --config FILE --plan nodeN.json
    It becomes the first node of a new cluster; its old data is archived. Where the plan names a problem with a group, use a node that
    has it whole, or give it up by name with --give-up GROUP. The group meta can't be given up.
 4. Start it. Move the data directories of the others away, and start them: they join.

Writes that were acknowledged may be lost where they reached no node that is left.`
	return c
}

func (a *app) recoverPlan() *cobra.Command {
	var file, out string
	var compare []string
	c := &cobra.Command{
		Use: "plan --config CONFIG", Short: "Step 1: say what a stopped node has, and what would be made of it", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := node.LoadConfig(file)
			if err != nil {
				return &usageError{err}
			}
			plan, err := recovery.MakePlan(cfg.DataDir, cfg.ID, time.Now())
			if err != nil {
				return err
			}
			if out != "" {
				if err := writePlan(out, plan); err != nil {
					return err
				}
			}
			behind, err := compared(plan, compare)
			if err != nil {
				return err
			}
			if err := a.print(plan, func(b *bytes.Buffer) { a.planTable(b, plan, out) }); err != nil {
				return err
			}
			return behind
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&out, "out", "", "file for the plan, which apply asks for")
	c.Flags().StringSliceVar(&compare, "compare", nil, "plans of the other nodes that are left; fails where one of them has more")
	return c
}

func writePlan(path string, plan *recovery.Plan) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // a path of the operator's own
	if err != nil {
		return &usageError{err}
	}
	return errors.Join(plan.Write(f), f.Sync(), f.Close())
}

func readPlan(path string) (*recovery.Plan, error) {
	f, err := os.Open(path) //nolint:gosec // a path of the operator's own
	if err != nil {
		return nil, &usageError{err}
	}
	plan, err := recovery.ReadPlan(f)
	return plan, errors.Join(err, f.Close())
}

// compared says, in behind, where other survivors have more.
func compared(plan *recovery.Plan, paths []string) (behind, err error) {
	var faults []error
	for _, path := range paths {
		other, err := readPlan(path)
		if err != nil {
			return nil, err
		}
		if err := plan.Behind(other); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...), nil
}

func (a *app) planTable(b *bytes.Buffer, p *recovery.Plan, out string) {
	fmt.Fprintf(b, "node %d of cluster %s\n\n", p.NodeID, p.ClusterID)
	t := table{header: []string{"GROUP", "LAST TERM", "LAST INDEX", "COMMIT", "SNAPSHOT", "ENTRIES", "VOTERS", "PROBLEM"}}
	for _, g := range p.Groups {
		t.row(g.Group, g.LastTerm, g.LastIndex, g.Commit, g.Snapshot, g.Entries, nodeList(g.Voters), cell{g.Problem, red})
	}
	t.write(b, a.color)
	if out != "" {
		fmt.Fprintf(b, "\nnothing has changed yet; compare with the plans of the other nodes that are left, then: recover apply --plan %s\n", out)
	}
}

func (a *app) recoverApply() *cobra.Command {
	var file, planFile string
	var compare []string
	var acceptLoss bool
	var giveUp []string
	c := &cobra.Command{
		Use: "apply --config CONFIG --plan PLAN", Short: "Step 2: make the node the first one of a new cluster, its old data archived", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			plan, err := readPlan(planFile)
			if err != nil {
				return err
			}
			behind, err := compared(plan, compare)
			if err != nil {
				return err
			}
			if behind != nil && !acceptLoss {
				return fmt.Errorf("%w: apply that node's plan, or say --accept-loss", behind)
			}
			target, err := targetOf(file)
			if err != nil {
				return err
			}
			target.GiveUp = giveUp
			founded, err := plan.Apply(target)
			if errors.Is(err, recovery.ErrUnusable) {
				return fmt.Errorf("%w (--give-up GROUP)", err)
			}
			if err != nil {
				return err
			}
			return a.founded(founded, target)
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&planFile, "plan", "", "what recover plan wrote")
	c.Flags().StringSliceVar(&compare, "compare", nil, "plans of the other nodes that are left; refuses where one of them has more")
	c.Flags().BoolVar(&acceptLoss, "accept-loss", false, "go on although another node has more")
	c.Flags().StringSliceVar(&giveUp, "give-up", nil, "groups with a problem that the new cluster begins without; their data stays in the archive")
	must(c.MarkFlagRequired("plan"))
	return c
}

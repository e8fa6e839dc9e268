package cli

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hupe1980/rivven-cluster/node"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Check and print configuration files", a.configCheck(), a.configPrint())
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Report every fault of a configuration file and of RIVVEN_ variables", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := node.LoadConfig(args[0])
			if err != nil {
				return &usageError{err}
			}
			warnings := append([]string{}, cfg.Warnings()...)
			if err := cfg.CheckTLSFiles(); err != nil {
				warnings = append(warnings, err.Error())
			}
			result := struct {
				File     string   `json:"file"`
				NodeID   uint64   `json:"node_id"`
				Warnings []string `json:"warnings"`
			}{args[0], cfg.ID, warnings}
			return a.print(result, func(b *bytes.Buffer) {
				for _, w := range warnings {
					fmt.Fprintf(b, "warning: %s\n", w)
				}
				fmt.Fprintf(b, "%s is a valid configuration of node %d\n", args[0], cfg.ID)
			})
		},
	}
}

func (a *app) configPrint() *cobra.Command {
	var defaults bool
	c := &cobra.Command{
		Use: "print [FILE]", Short: "Print the configuration in force, as YAML", Args: cobra.MaximumNArgs(1),
		Long: "Print the configuration that FILE, the RIVVEN_ variables and the defaults make, as YAML; without FILE that of the\nvariables alone. With --defaults print every key with its meaning and its default.",
		RunE: func(_ *cobra.Command, args []string) error {
			var b bytes.Buffer
			if defaults {
				if len(args) > 0 {
					return usage("give either FILE or --defaults")
				}
				if err := node.PrintDefaults(&b); err != nil {
					return err
				}
			} else {
				cfg, err := node.LoadConfig(first(args))
				if err != nil {
					return &usageError{err}
				}
				if err := node.PrintConfig(&b, cfg); err != nil {
					return err
				}
			}
			_, err := a.out.Write(b.Bytes())
			return err
		},
	}
	c.Flags().BoolVar(&defaults, "defaults", false, "every key with its meaning and its default")
	return c
}

package main

import (
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/spf13/cobra"
)

func (p *program) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of component files",
		Long: `Prints the JSON Schema of component files. Editors use it to complete keys and to
mark mistakes while a file is written.`,
		Example: `  fsmesh schema > fsmesh.schema.json
  # first line of a component file, for editors with a YAML language server:
  # yaml-language-server: $schema=fsmesh.schema.json`,
		Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := p.stdout.Write(fsm.JSONSchema())
			return err
		},
	}
}

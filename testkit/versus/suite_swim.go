package main

import "github.com/hupe1980/rivven-cluster/testkit/versus/swimsuite"

func init() { suites = append(suites, swimsuite.Suite()) }

package main

import "github.com/hupe1980/rivven-cluster/testkit/versus/raftsuite"

func init() { suites = append(suites, raftsuite.Suite()) }

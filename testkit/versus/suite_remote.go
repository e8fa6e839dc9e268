package main

import "github.com/hupe1980/rivven-cluster/testkit/versus/remotesuite"

func init() { suites = append(suites, remotesuite.Suite()) }

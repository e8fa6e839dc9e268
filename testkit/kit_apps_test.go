package testkit_test

import (
	"testing"

	"github.com/hupe1980/rivven-cluster/testkit"
)

func TestReplicatedCounter(t *testing.T) { testkit.Run(t, counterScenario()) }

func TestLockService(t *testing.T) { testkit.Run(t, lockScenario()) }

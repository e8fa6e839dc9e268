// Package partition is the vocabulary of the partition manager, known as "ring" on every node: create, delete and look at
// topics, and what a partition's actor answers to those who hold an old epoch.
//
// Messages are protobuf, used by pointer, and immutable once sent. A refusal is [Refused] and becomes an error at the
// asker through [Reply].
package partition

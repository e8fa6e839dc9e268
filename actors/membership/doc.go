// Package membership is the vocabulary of the membership actor, known as "swim" on every node: subscribe, look, leave,
// change tags, and the events in their order.
//
// Messages are protobuf, used by pointer, and immutable once sent. A subscriber sends [Subscribe] and gets a [Snapshot],
// then [Joined], [Updated], [Suspected], [Failed], [Left] and [Recovered] as they happen; [Apply] folds them into a view.
package membership

package metadata

import "iter"

// key orders a tree.
type key[K any] interface{ Compare(K) int }

// tree is a persistent AVL tree: with and without return a new tree that shares
// all but one path with the old one. That makes a snapshot one pointer, undoing a
// batch one assignment, and every iteration sorted. The zero value is empty.
type tree[K key[K], V any] struct{ root *branch[K, V] }

type branch[K key[K], V any] struct {
	key         K
	value       V
	left, right *branch[K, V]
	height      int8
	size        int
}

func (t tree[K, V]) len() int { return t.root.count() }

func (t tree[K, V]) get(k K) (V, bool) {
	for b := t.root; b != nil; {
		switch c := k.Compare(b.key); {
		case c < 0:
			b = b.left
		case c > 0:
			b = b.right
		default:
			return b.value, true
		}
	}
	var none V
	return none, false
}

func (t tree[K, V]) with(k K, v V) tree[K, V] { return tree[K, V]{t.root.insert(k, v)} }

func (t tree[K, V]) without(k K) tree[K, V] { return tree[K, V]{t.root.remove(k)} }

// from iterates in order from the first key that is not below k.
func (t tree[K, V]) from(k K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { t.root.walkFrom(k, yield) }
}

func (t tree[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { t.root.walk(yield) }
}

func (b *branch[K, V]) count() int {
	if b == nil {
		return 0
	}
	return b.size
}

func (b *branch[K, V]) tall() int8 {
	if b == nil {
		return 0
	}
	return b.height
}

func (b *branch[K, V]) walk(yield func(K, V) bool) bool {
	return b == nil || b.left.walk(yield) && yield(b.key, b.value) && b.right.walk(yield)
}

func (b *branch[K, V]) walkFrom(k K, yield func(K, V) bool) bool {
	if b == nil {
		return true
	}
	if k.Compare(b.key) > 0 {
		return b.right.walkFrom(k, yield)
	}
	return b.left.walkFrom(k, yield) && yield(b.key, b.value) && b.right.walk(yield)
}

func (b *branch[K, V]) insert(k K, v V) *branch[K, V] {
	if b == nil {
		return &branch[K, V]{key: k, value: v, height: 1, size: 1}
	}
	switch c := k.Compare(b.key); {
	case c < 0:
		return join(b.key, b.value, b.left.insert(k, v), b.right)
	case c > 0:
		return join(b.key, b.value, b.left, b.right.insert(k, v))
	}
	return join(k, v, b.left, b.right)
}

func (b *branch[K, V]) remove(k K) *branch[K, V] {
	if b == nil {
		return nil
	}
	switch c := k.Compare(b.key); {
	case c < 0:
		return join(b.key, b.value, b.left.remove(k), b.right)
	case c > 0:
		return join(b.key, b.value, b.left, b.right.remove(k))
	case b.left == nil:
		return b.right
	case b.right == nil:
		return b.left
	}
	next := b.right
	for next.left != nil {
		next = next.left
	}
	return join(next.key, next.value, b.left, b.right.remove(next.key))
}

// join makes a balanced branch of two subtrees whose heights differ by two at most.
func join[K key[K], V any](k K, v V, left, right *branch[K, V]) *branch[K, V] {
	switch {
	case left.tall() > right.tall()+1:
		if left.left.tall() >= left.right.tall() {
			return link(left.key, left.value, left.left, link(k, v, left.right, right))
		}
		mid := left.right
		return link(mid.key, mid.value, link(left.key, left.value, left.left, mid.left), link(k, v, mid.right, right))
	case right.tall() > left.tall()+1:
		if right.right.tall() >= right.left.tall() {
			return link(right.key, right.value, link(k, v, left, right.left), right.right)
		}
		mid := right.left
		return link(mid.key, mid.value, link(k, v, left, mid.left), link(right.key, right.value, mid.right, right.right))
	}
	return link(k, v, left, right)
}

func link[K key[K], V any](k K, v V, left, right *branch[K, V]) *branch[K, V] {
	return &branch[K, V]{
		key: k, value: v, left: left, right: right,
		height: 1 + max(left.tall(), right.tall()), size: 1 + left.count() + right.count(),
	}
}

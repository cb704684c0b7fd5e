# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: m = Matrix([[1, 2, 3], [4, 5, 6]])
# check: assert m.shape == (2, 3)
# check: assert m[1, 2] == 6
# check: assert m[0] == [1, 2, 3]
# check: m[0, 0] = 9
# check: assert m[0, 0] == 9
# check: assert m.T.shape == (3, 2)
# check: assert (Matrix([[1, 2]]) @ Matrix([[3], [4]])).rows == [[11]]
# check: assert m[0][-1] == 3
# check: assert m[0][1:] == [2, 3]
class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    @property
    def shape(self):
        return len(self.rows), len(self.rows[0])

    def __getitem__(self, key):
        if isinstance(key, tuple):
            i, j = key
            return self.rows[i][j]
        return self.rows[key]

    def __setitem__(self, key, value):
        i, j = key
        self.rows[i][j] = value

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Matrix([[sum(a * b for a, b in zip(row, col)) for col in columns] for row in self.rows])

    @property
    def T(self):
        return Matrix(zip(*self.rows))

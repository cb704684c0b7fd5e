# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: t = Temperature(100)
# check: assert t.fahrenheit == 212.0
# check: t.fahrenheit = 32
# check: assert t.celsius == 0
# check: t.celsius = 37
# check: assert abs(t.fahrenheit - 98.6) < 1e-9
# check: try:
# check:     t.celsius = -300
# check: except ValueError as error:
# check:     assert str(error) == "below absolute zero"
# check: else:
# check:     raise AssertionError("no ValueError")
# check: assert hasattr(t, "celsius") and not hasattr(t, "kelvin")
class Temperature:
    def __init__(self, celsius=0.0):
        self.celsius = celsius

    @property
    def celsius(self):
        return self._celsius

    @celsius.setter
    def celsius(self, value):
        if value < -273.15:
            raise ValueError("below absolute zero")
        self._celsius = value

    @property
    def fahrenheit(self):
        return self.celsius * 9 / 5 + 32

    @fahrenheit.setter
    def fahrenheit(self, value):
        self.celsius = (value - 32) * 5 / 9

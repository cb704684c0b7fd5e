# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: p = Person.from_string("Ada - 36")
# check: assert p.name == "Ada" and p.age == 36
# check: assert type(p).__name__ == "Person"
# check: assert isinstance(p, Person)
# check: assert Person.is_adult(18)
# check: assert not Person.is_adult(17)
# check: assert p.birthday().birthday().age == 38
# check: before = Person.count
# check: Person("Bo", 3)
# check: assert Person.count == before + 1
class Person:
    count = 0

    def __init__(self, name, age):
        self.name = name
        self.age = age
        Person.count += 1

    @classmethod
    def from_string(cls, text):
        name, age = text.split("-")
        return cls(name.strip(), int(age))

    @staticmethod
    def is_adult(age):
        return age >= 18

    def birthday(self):
        self.age += 1
        return self

# expect: timeout memory
# limits: cpu_s=0.3 wall_s=1
import decimal
decimal.getcontext().prec = 10**7
decimal.Decimal(2).sqrt()
